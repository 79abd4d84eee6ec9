"""Saved views of MLflow's page of runs."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from dvc_mlflow.expected import ExpectedStage
from dvc_mlflow.mapping import Chart, View
from dvc_mlflow.runs import now
from dvc_mlflow.store import Store

TAG = "mlflow.sharedViewState."


def update(store: Store, stages: Iterable[ExpectedStage]) -> list[str]:
    """Save the views of `meta.mlflow` in their experiments, where they are not there as they should be."""
    done = []
    wanted = {(one.experiment, name): view for one in stages for name, view in one.mapping.views.items()}
    for number, ((experiment, name), view) in enumerate(wanted.items()):
        found = store.client.get_experiment(store.experiment(experiment))
        key, state = TAG + hashlib.md5(name.encode()).hexdigest(), json.dumps(_state(view), sort_keys=True)
        packed = "deflate;" + base64.b64encode(zlib.compress(state.encode())).decode()
        if json.loads(found.tags.get(key, "{}")).get("state") != packed:
            moment = now() + number  # the first is the one that opens
            entry = {"name": name, "createdAt": moment, "updatedAt": moment, "state": packed}
            store.client.set_experiment_tag(found.experiment_id, key, json.dumps(entry))
            done.append(f"{experiment}: view {name} saved")
    return done


def addresses(store: Store, base: str) -> list[str]:
    """Return the addresses of the saved views, each after its name; else of the experiments, or their list.

    A view with lines or points opens on its charts: MLflow keeps that in the address alone.
    """
    pages, views, base = [], [], f"{base.rstrip('/')}/#/experiments"
    for experiment in store.client.search_experiments(order_by=["experiment_id ASC"]):
        page = f"{base}/{experiment.experiment_id}/runs?workflowType=machine_learning"
        pages += [page] if experiment.name != "Default" else []
        saved = []
        for key in filter(lambda key: key.startswith(TAG), experiment.tags):
            with suppress(ValueError, KeyError, TypeError, zlib.error):  # what another MLflow has shared
                view = json.loads(experiment.tags[key])
                state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
                charts = any(chart["type"] != "BAR" for chart in state.get("compareRunCharts") or [])
                address = f"{page}&viewStateShareKey={key.removeprefix(TAG)}"
                text = f"{view['name']}: {address}" + "&compareRunsMode=CHART" * charts
                saved.append((int(view["createdAt"]), text))
        views += [text for _, text in sorted(saved)]
    return views or pages or [base]


def _state(view: View) -> dict[str, Any]:
    """Return a view as MLflow's page stores it."""
    charts = [_chart(number, chart) for number, chart in enumerate(view.charts)]
    section = {"uuid": "views", "name": "Charts", "display": True, "isReordered": True}
    mode, _, key = (view.group_by or "").partition(".")
    keys = [{"mode": mode.removesuffix("s"), "groupByData": key}]
    return {
        "selectedColumns": [_column(one) for one in view.columns],
        "orderByKey": _column(view.sort) if view.sort else "attributes.start_time",
        "orderByAsc": view.ascending,
        "searchFilter": view.filter,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if view.group_by else None,
        "compareRunCharts": charts or None,
        "compareRunSections": [section | {"deleted": False, "isGenerated": False}] if charts else None,
        "isAccordionReordered": True,  # ours first
        "runsHiddenMode": "SHOWALL",
        "useGroupedValuesInCharts": True,
    }


def _column(column: str) -> str:
    kind, _, key = column.partition(".")
    return f"{kind}.`{key}`"


def _chart(number: int, chart: Chart) -> dict[str, Any]:
    common = {"uuid": f"chart-{number}", "metricSectionId": "views", "deleted": False, "isGenerated": False}
    if chart.line:
        metric = {"type": "LINE", "metricKey": chart.line, "selectedMetricKeys": [chart.line]}
        axes = {"scaleType": "log" if chart.log else "linear", "xAxisKey": "step", "xAxisScaleType": "linear"}
        return {**common, **metric, **axes, "lineSmoothness": 0}
    if chart.bar:
        return common | {"type": "BAR", "metricKey": chart.bar}
    places = {"xaxis": _axis(chart.x), "yaxis": _axis(chart.y)}
    return common | {"type": "SCATTER", "runsCountToCompare": 100, **places}


def _axis(column: str) -> dict[str, str]:
    kind, _, key = column.partition(".")
    return {"key": key, "type": "PARAM" if kind == "params" else "METRIC"}
