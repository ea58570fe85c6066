"""Pure: a digest as a pen stroke and in groups, for pages; it helps the eye, it checks nothing."""

from collections.abc import Iterator

_Point = tuple[float, float]


def digest_groups(digest: str) -> str:
    """Return the first 32 hex characters of a digest in groups of four."""
    return " ".join(digest[at : at + 4] for at in range(0, min(len(digest), 32), 4))


def stroke(digest: str, width: float = 88, height: float = 32, points: int = 16) -> str:
    """Return a digest as the `d` attribute of one SVG path; the same digest is the same stroke.

    Two nibbles make a point: how tall the stroke is there, and how far a downstroke leans back.
    At most 20 points; the 41st nibble says where the stroke ends.
    """
    path = [*_points(digest, width, height, points), _end(digest, width, height)]
    start = f"M{path[0][0]:.1f} {path[0][1]:.1f}"
    return start + "".join(_curve(path, at) for at in range(len(path) - 1))


def _points(digest: str, width: float, height: float, points: int) -> Iterator[_Point]:
    step = width * 0.84 / points
    for at in range(points):
        tall, lean = _share(digest[2 * at]), _share(digest[2 * at + 1])
        # A hand begins larger than it goes on.
        size = height * 0.42 * (1.0 if at < points * 0.35 else 0.72) * (0.12 + 0.88 * tall)
        is_up = at % 2 == 0
        across = 1.1 if is_up else -0.75 * lean
        down = -size if is_up else size
        yield width * 0.04 + step * (at + across), height * 0.52 + down


def _end(digest: str, width: float, height: float) -> _Point:
    return width * 0.98, height * (0.52 + 0.42 * (_share(digest[40]) - 0.5))


def _share(nibble: str) -> float:
    return int(nibble, 16) / 15


def _curve(path: list[_Point], at: int) -> str:
    """Return the smooth piece from one point to the next: two handles and the end."""
    before, here = path[max(at - 1, 0)], path[at]
    there, after = path[at + 1], path[min(at + 2, len(path) - 1)]
    leave = [h + (t - b) * 0.2 for b, h, t in zip(before, here, there, strict=True)]
    arrive = [t - (a - h) * 0.2 for h, t, a in zip(here, there, after, strict=True)]
    return "C" + " ".join(f"{number:.1f}" for number in (*leave, *arrive, *there))
