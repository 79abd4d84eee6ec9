"""What the report says, whatever it is rendered in: answers, tables, pictures, method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader

from stages.core.params import Params
from stages.core.report import captions, method, tables
from stages.core.report.answers import answer_all
from stages.core.report.figures import Figure, Numbers, labels

TEMPLATES = FileSystemLoader(Path(__file__).parent / "templates")


def contents(params: Params, numbers: Numbers, figures: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """The values of the templates. `figures` has the pictures of each study by its name, others under ""."""
    answers = answer_all(params, numbers.comparison, numbers.history, numbers.differences)
    return {
        "title": "How batch size and learning rate decide whether gradient descent learns",
        "network": method.network(params),
        "answers": answers,
        "headings": tables.HEADINGS,
        "tables": {
            study: tables.rows(rows) for study, rows in numbers.comparison.groupby("study", sort=False)
        },
        "seeds": len(params.train.seeds),
        "figures": figures,
        "labels": labels(numbers.comparison.drop_duplicates("model")),
        "notes": {study: _note(params, study, figures[study]) for study in params.studies},
        "method": method.sentences(params),
    }


def _note(params: Params, study: str, figures: Sequence[Figure]) -> str:
    if any(figure.name.endswith("-descent") for figure in figures):
        return ""
    models = [params.models[model] for model in params.studies[study].models]
    return captions.left_out(method.one_shape(models))
