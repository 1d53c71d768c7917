"""New processes again and again: where a program's memory lies and what its hash tables begin with is luck that lasts as long as it does."""

from processes import Failed
from stats import rounds_of


class Generations:
    """How many times new processes, and how many rounds with each."""

    def __init__(self, setting, number=5, rounds=3):
        self.number, self.rounds = setting.rounds(number, 2), setting.rounds(rounds, 1)

    def take(self, start, warm, sample):
        """`start()` gives the processes by case. Each is warmed up and sampled by turns with the others; the samples by case, in the order in which they
        were taken."""
        taken = {}
        for number in range(self.number):
            running = start()
            try:
                if number and set(running) != set(taken):
                    raise Failed(f"not every time there: {', '.join(sorted(set(running) ^ set(taken)))}")
                for process in running.values():
                    warm(process)
                for case, samples in rounds_of(self.rounds, list(running), lambda case: sample(running[case])).items():
                    taken.setdefault(case, []).extend(samples)
            finally:
                for process in running.values():
                    process.end()
        return taken

    def said(self):
        """What is stored, for `text`."""
        return {"processes": self.number, "rounds": self.rounds}


def text(said):
    return f"n = {said['processes'] * said['rounds']}: {said['processes']} times new processes, {said['rounds']} round{'s' if said['rounds'] > 1 else ''} with each"
