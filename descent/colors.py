"""The colours of the report, the explorer and the notebook, for light and dark pages."""

from typing import Any

# After Okabe and Ito's palette for all kinds of colour vision (https://jfly.uni-koeln.de/color/), each hue
# darkened or lightened until it contrasts with its background by 3:1 (WCAG 2.2, 1.4.11).
LIGHT = ("#0072b2", "#d55e00", "#00835f", "#a8488a", "#4d4d4d", "#8a6d00", "#2b8cbe", "#b2182b")
DARK = ("#4fb3f0", "#ff8a3d", "#2fc79a", "#e58bc9", "#c9c9c9", "#e3bb33", "#9cd3f7", "#ff7b84")

THEMES: dict[str, dict[str, Any]] = {
    "light": {
        **{"paper": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "grid": "#e4e7eb"},
        **{"line": "#d1d9e0", "tint": "#f6f8fa", "link": "#0757ba"},
        **{"empty": "#eceff2", "diagonal": "#d9e8f7", "model": LIGHT},
        "mistakes": ["#fffaf4", "#ffe3c7", "#ffb570", "#f98b38"],
        "surface": ["#fff3b0", "#c8e6a5", "#8fd0c4", "#86b4e0", "#9d95d3"],
    },
    "dark": {
        **{"paper": "#0d1117", "ink": "#e6edf3", "faint": "#9aa4ae", "grid": "#2a313a"},
        **{"line": "#3d444d", "tint": "#151b23", "link": "#6cb0ff"},
        **{"empty": "#20262e", "diagonal": "#14304d", "model": DARK},
        "mistakes": ["#1b1612", "#3f2a18", "#6f3d12", "#a0520f"],
        "surface": ["#6b6220", "#3c5f34", "#1f5457", "#24426f", "#332c63"],
    },
}


def css_colors() -> str:
    """Return the colours of both themes as custom properties of CSS: `--ink`, `--model-0`."""
    blocks = []
    for look in THEMES.values():
        named = {name: colour for name, colour in look.items() if isinstance(colour, str)}
        for name in ("model", "surface", "mistakes"):
            named |= {f"{name}-{place}": colour for place, colour in enumerate(look[name])}
        blocks.append(f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in named.items())} }}")
    return f"{blocks[0]}\n@media (prefers-color-scheme: dark) {{ {blocks[1]} }}\n"
