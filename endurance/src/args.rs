//! The command line.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// All scenes, in the order in which they run.
pub(crate) const SCENES: &[&str] =
    &["emfile", "resets", "queue", "mute", "drain", "clock", "suspend", "soak"];

const USAGE: &str = "\
usage: endurance/run [--minutes N] [--seed N] [--only SCENE[,SCENE…]] [--optional SCENE[,SCENE…]] [--out FOLDER]

  --minutes N    how long the soak lasts; 5 unless told otherwise, and fractions are allowed
  --seed N       what clients do and when comes from it; shown in the summary
  --only SCENE   these scenes alone
  --optional SCENE  what this machine does not allow fails the run, unless the scene is named here
  --out FOLDER   where results go: results.json, summary.md, memory.svg (endurance/.work)

scenes: emfile, resets, queue, mute, drain, clock, suspend, soak";

#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) minutes: f64,
    pub(crate) seed: u64,
    pub(crate) scenes: Vec<&'static str>,
    pub(crate) optional: Vec<&'static str>,
    pub(crate) out: PathBuf,
}

impl Args {
    /// # Errors
    /// What to tell the user.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mut args = Self {
            minutes: 5.0,
            seed,
            scenes: SCENES.to_vec(),
            optional: Vec::new(),
            out: PathBuf::from(".work"),
        };
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                return Err(USAGE.to_owned());
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))?;
            let wrong = || format!("{word} {value}: no such thing\n\n{USAGE}");
            match word.as_str() {
                "--minutes" => {
                    args.minutes =
                        value.parse().ok().filter(|n| (0.1..=100_000.0).contains(n)).ok_or_else(wrong)?;
                }
                "--seed" => args.seed = value.parse().map_err(|_| wrong())?,
                "--only" => args.scenes = named(&value).ok_or_else(wrong)?,
                "--optional" => args.optional.extend(named(&value).ok_or_else(wrong)?),
                "--out" => args.out = PathBuf::from(value),
                _ => return Err(format!("{word}: no such option\n\n{USAGE}")),
            }
        }
        Ok(args)
    }
}

/// The scenes of these names, in their own order.
fn named(list: &str) -> Option<Vec<&'static str>> {
    let names: Vec<_> = list.split(',').collect();
    names
        .iter()
        .all(|name| SCENES.contains(name))
        .then(|| SCENES.iter().copied().filter(|scene| names.contains(scene)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options() {
        let args = parse("--minutes 0.5 --seed 7 --only soak,emfile --optional clock").expect("right");
        assert_eq!((args.minutes, args.seed), (0.5, 7));
        assert_eq!((args.scenes, args.optional), (vec!["emfile", "soak"], vec!["clock"]));
        for wrong in ["--minutes 0", "--minutes x", "--only nothing", "--seed", "--what 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
