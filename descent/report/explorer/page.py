"""The explorer as one HTML file: its modules, style and data inlined."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from descent.report.charts import css_colors

FOLDER = Path(__file__).parent

MODULES = (
    *("format", "elements", "network", "data", "digit", "charts", "surface", "pictures"),
    *("sweep", "draw", "valley", "main"),
)
"""The JavaScript modules; each imports only from those before it."""

IMPORT = re.compile(r"^import (\{[^}]*\}) from \"\./(\w+)\.js\";$", re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:function|const|class) (\w+))", re.MULTILINE)


def page(content: dict[str, Any]) -> str:
    """Render the page from `content.content`."""
    title = f"{content['title']}: gradient descent to play with".removeprefix(": ")
    parts = {
        "title": escape(title),
        "style": css_colors() + (FOLDER / "explorer.css").read_text(encoding="utf-8"),
        "data": embedded(content),
        "script": script(),
    }
    template = (FOLDER / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], template)


def embedded(content: Any) -> str:
    """Return strict JSON that is safe inside a script element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def script() -> str:
    """Join the modules to one script, each in a function of its own that returns what it exports."""
    texts = {name: (FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in MODULES}
    return "\n".join(f"const ${name} = (() => {{\n{_scope(text)}}})();" for name, text in texts.items())


def _scope(module: str) -> str:
    """Return the body of a function that does what the module does, and returns what it exports."""
    body = EXPORT.sub("", IMPORT.sub(r"const \1 = $\2;", module))
    return f"{body}return {{ {', '.join(EXPORT.findall(module))} }};\n"
