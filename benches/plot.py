#!/usr/bin/env python3
"""Draws the tables that `cargo bench --bench scale` prints: plot.py scale.md scale.svg"""
import math
import re
import sys

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 40


def tables(text):
    """The tables of a Markdown text: title, name of the first column, rows."""
    for part in re.split(r"^### ", text, flags=re.M)[1:]:
        title, rest = part.split("\n", 1)
        rows = [line.strip("| ").split(" | ") for line in rest.splitlines() if line.startswith("|")]
        yield title, rows[0][0], [(float(x), float(y)) for x, y in rows[2:]]


def short(number):
    for size, name in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{name}"
    return f"{number:g}"


def panel(title, name, rows, top):
    """One plot, with its upper left corner at the origin."""
    last = math.log10(rows[-1][0])
    x = lambda value: LEFT + (WIDTH - LEFT - RIGHT) * math.log10(value) / last
    y = lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
    yield f'<text class="title" x="{LEFT}" y="20">{title}</text>'
    for step in range(0, int(top) + 1, max(1, int(top) // 5)):
        yield f'<path class="grid" d="M{LEFT} {y(step):.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="y" x="{LEFT - 6}" y="{y(step) + 4:.1f}">{step} µs</text>'
    for value, _ in rows:
        yield f'<text class="x" x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}">{short(value)}</text>'
    yield f'<text class="x" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}">{name}</text>'
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in rows)
    yield f'<polyline class="line" points="{points}"/>'
    for a, b in rows:
        yield f'<circle class="dot" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"><title>{short(a)}: {b} µs</title></circle>'


def main(source, target):
    found = list(tables(open(source, encoding="utf-8").read()))
    top = math.ceil(max(b for _, _, rows in found for _, b in rows) * 1.15)
    columns, lines = 2, math.ceil(len(found) / 2)
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * WIDTH} {lines * HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        "<style>.title{font-size:13px;font-weight:bold}.x{text-anchor:middle}.y{text-anchor:end}"
        ".grid{stroke:#ddd}.line{fill:none;stroke:#36c;stroke-width:2}.dot{fill:#36c}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (title, name, rows) in enumerate(found):
        place = f"translate({number % columns * WIDTH} {number // columns * HEIGHT})"
        svg += [f'<g transform="{place}">', *panel(title, name, rows, top), "</g>"]
    svg.append("</svg>\n")
    open(target, "w", encoding="utf-8").write("\n".join(svg))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
