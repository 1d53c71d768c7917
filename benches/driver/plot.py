"""Bar charts as SVG, with the spread of each bar and the goal as a line. They follow the reader's light or dark scheme."""

import html

BAR, GAP, LABEL, WIDTH = 16, 8, 250, 900
STYLE = """text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:14px}.n{fill:#57606a}
.a{fill:#1f77b4}.b{fill:#c98f3a}.c{fill:#7a8b99}.s{stroke:#24292f;stroke-width:1}.g{stroke:#1a7f37;stroke-width:1.5;stroke-dasharray:5 3}
.gt{fill:#1a7f37}.x{stroke:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9198a1}.s{stroke:#e6edf3}.x{stroke:#3d444d}.g{stroke:#3fb950}.gt{fill:#3fb950}}"""


def bars(title, note, rows, show, goal=None):
    """`rows` are (label, Spread, colour a, b or c) or None for a gap; `goal` is (value, label)."""
    top = 48
    height = top + sum(GAP if row is None else BAR + GAP for row in rows) + 24
    most = max([row[1].high for row in rows if row] + [goal[0] if goal else 0]) or 1
    room = WIDTH - LABEL - 150

    def x(value):
        return LABEL + value / most * room

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
        f'<text class="t" x="8" y="18">{html.escape(title)}</text><text class="n" x="8" y="36">{html.escape(note)}</text>',
        f'<line class="x" x1="{LABEL}" y1="{top - 4}" x2="{LABEL}" y2="{height - 20}"/>',
    ]
    y = top
    for row in rows:
        if row is None:
            y += GAP
            continue
        label, spread, colour = row
        middle = y + BAR / 2
        out.append(f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{html.escape(label)}</text>')
        out.append(f'<rect class="{colour}" x="{LABEL}" y="{y}" width="{x(spread.median) - LABEL:.1f}" height="{BAR}" rx="2"/>')
        out.append(f'<line class="s" x1="{x(spread.low):.1f}" y1="{middle}" x2="{x(spread.high):.1f}" y2="{middle}"/>')
        out.append(f'<text class="n" x="{max(x(spread.median), x(spread.high)) + 6:.1f}" y="{middle + 4}">{html.escape(show(spread.median))}</text>')
        y += BAR + GAP
    if goal:
        out.append(f'<line class="g" x1="{x(goal[0]):.1f}" y1="{top - 4}" x2="{x(goal[0]):.1f}" y2="{y}"/>')
        out.append(f'<text class="gt" x="{x(goal[0]) + 4:.1f}" y="{y + 12}">{html.escape(goal[1])}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
