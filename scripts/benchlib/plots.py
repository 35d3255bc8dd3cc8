"""Plots as SVG text: bars and lines, with axes, units and a legend. Nothing from outside is needed to show them."""
import dataclasses
import math
from xml.sax.saxutils import escape

COLOURS = ("#6b7280", "#0b6e4f", "#08a045", "#c2410c", "#7c3aed", "#0369a1", "#b91c1c", "#a16207", "#be185d", "#334155", "#0d9488", "#65a30d")
LETTER = 7.2  # the width of a letter at 12 pixels, about


def colours(names):
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def text(x, y, words, anchor="start", style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{f" class={chr(34)}{style}{chr(34)}" if style else ""}>{escape(str(words))}</text>'


def svg(width, height, parts, label):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'aria-label="{escape(label, {chr(34): "&quot;"})}">' + "".join(parts) + "</svg>")


def bars(title, rows, unit, reference=None, width=330, limit=None, note=""):
    """rows: (name, value, text behind the bar, colour, (low, high) or None). A value over `limit` gets a bar with a broken end."""
    left = max([len(row[0]) for row in rows] + [4]) * LETTER + 8
    most = max([row[1] for row in rows] + [row[4][1] for row in rows if row[4]] + [reference or 0]) or 1
    limit = min(limit or most, most)
    behind = max(len(row[2]) for row in rows) * LETTER + 10
    scale = (width - left - behind) / limit
    parts = [text(0, 13, title, style="title")]
    if note:
        parts.append(text(width, 13, note, "end", "faint"))
    for i, (name, value, words, colour, interval) in enumerate(rows):
        y = 22 + i * 17
        length = min(value, limit) * scale
        parts += [text(left - 6, y + 11, name, "end"), f'<rect x="{left:.1f}" y="{y}" width="{max(length, 0.5):.1f}" height="13" fill="{colour}"/>']
        if value > limit:
            parts.append(f'<path d="M{left + length - 12:.1f} {y - 1}l5 15M{left + length - 7:.1f} {y - 1}l5 15" stroke="#fff" stroke-width="2"/>')
        ends = left + length
        if interval:
            low, high = (left + min(number, limit) * scale for number in interval)
            parts.append(f'<path d="M{low:.1f} {y + 6.5}H{high:.1f}M{low:.1f} {y + 3}v7M{high:.1f} {y + 3}v7" stroke="#111" fill="none"/>')
            ends = max(ends, high)
        parts.append(text(ends + 4, y + 11, words))
    bottom = 22 + len(rows) * 17
    if reference is not None and reference <= limit:
        x = left + reference * scale
        parts.append(f'<path d="M{x:.1f} 19V{bottom}" stroke="#111" stroke-dasharray="2 2"/>')
    parts.append(text(left, bottom + 12, unit, style="faint"))
    return svg(width, bottom + 18, parts, title)


@dataclasses.dataclass
class Axis:
    """An axis of a line plot. A logarithmic one has its ticks at powers of `base`."""
    label: str
    is_log: bool = False
    base: int = 10
    show: callable = lambda value: f"{value:g}"

    def ticks(self, low, high):
        if self.is_log:
            first, last = math.floor(math.log(low, self.base) + 1e-9), math.ceil(math.log(high, self.base) - 1e-9)
            step = max(1, math.ceil((last - first) / 8))
            return [self.base ** power for power in range(first, last + 1, step)]
        rough = (high - low or 1) / 5
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
        first = math.floor(low / step)
        return [step * (first + i) for i in range(math.ceil(high / step - 1e-9) - first + 1)]

    def place(self, value, ticks):
        """0 to 1 between the first and the last tick."""
        low, high = ticks[0], ticks[-1]
        if self.is_log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low or 1)


def lines(title, series, x, y, palette, width=640, height=330, dashed=()):
    """series: {name: [(x, y), ...]}."""
    points = [point for curve in series.values() for point in curve if (point[0] > 0 or not x.is_log) and (point[1] > 0 or not y.is_log)]
    if not points:
        return ""
    left, right, top, bottom = 62, 130, 26, 44
    xs = x.ticks(min(point[0] for point in points), max(point[0] for point in points))
    ys = y.ticks(min(point[1] for point in points) if y.is_log else 0, max(point[1] for point in points))

    def across(value):
        return left + x.place(value, xs) * (width - left - right)

    def up(value):
        return height - bottom - y.place(value, ys) * (height - top - bottom)
    parts = [text(0, 14, title, style="title")]
    for tick in xs:
        parts += [f'<path d="M{across(tick):.1f} {top}V{height - bottom}" class="grid"/>', text(across(tick), height - bottom + 15, x.show(tick), "middle")]
    for tick in ys:
        parts += [f'<path d="M{left} {up(tick):.1f}H{width - right}" class="grid"/>', text(left - 5, up(tick) + 4, y.show(tick), "end")]
    parts.append(text(left + (width - left - right) / 2, height - 8, x.label, "middle", "faint"))
    middle = (top + height - bottom) / 2
    parts.append(f'<text transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle" class="faint">{escape(y.label)}</text>')
    for i, (name, curve) in enumerate(series.items()):
        way = "L".join(f"{across(a):.1f} {up(b):.1f}" for a, b in curve if (a > 0 or not x.is_log) and (b > 0 or not y.is_log))
        dash = ' stroke-dasharray="5 4"' if name in dashed else ""
        if way:
            parts.append(f'<path d="M{way}" fill="none" stroke="{palette[name]}" stroke-width="2"{dash}><title>{escape(name)}</title></path>')
        parts += [f'<path d="M{width - right + 10} {top + 8 + i * 17}h16" stroke="{palette[name]}" stroke-width="3"{dash}/>',
                  text(width - right + 31, top + 12 + i * 17, name)]
    return svg(width, max(height, top + 20 + len(series) * 17), parts, title)
