"""The explorer as one HTML file: its modules, style and data inlined."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from descent.colors import css_colors

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
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, keep_trailing_newline=True)
    compact = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    environment.policies["json.dumps_kwargs"] = compact
    return environment.get_template("index.html").render(
        title=f"{content['title']}: gradient descent to play with".removeprefix(": "),
        style=Markup(css_colors() + (FOLDER / "explorer.css").read_text(encoding="utf-8")),
        content=content,
        script=Markup(script()),
    )


def script() -> str:
    """Join the modules to one script, each in a function of its own that returns what it exports."""
    texts = {name: (FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in MODULES}
    return "\n".join(f"const ${name} = (() => {{\n{_scope(text)}}})();" for name, text in texts.items())


def _scope(module: str) -> str:
    """Return the body of a function that does what the module does, and returns what it exports."""
    body = EXPORT.sub("", IMPORT.sub(r"const \1 = $\2;", module))
    return f"{body}return {{ {', '.join(EXPORT.findall(module))} }};\n"
