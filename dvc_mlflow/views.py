"""Saved views of MLflow's page of runs."""

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Iterable
from typing import Any

from dvc_mlflow.expected import ExpectedStage
from dvc_mlflow.mapping import Chart, View
from dvc_mlflow.store import Store

TAG = "mlflow.sharedViewState."


def save(store: Store, stages: Iterable[ExpectedStage]) -> list[str]:
    """Save the views of `meta.mlflow` in their experiments, where they are not there as they should be."""
    done = []
    wanted = {(stage.experiment, name): view for stage in stages for name, view in stage.views.items()}
    for (experiment, name), view in wanted.items():
        found = store.find(experiment)
        key, state = identifier(name), json.dumps(_state(view), sort_keys=True)
        assert found
        held = json.loads(found.tags.get(TAG + key, "{}")).get("state", "")
        packed = "deflate;" + base64.b64encode(zlib.compress(state.encode())).decode()
        if held != packed:
            moment = round(1000 * time.time())
            entry = {"name": name, "createdAt": moment, "updatedAt": moment, "state": packed}
            store.client.set_experiment_tag(found.experiment_id, TAG + key, json.dumps(entry))
            done.append(f"{experiment}: view {name} saved")
    return done


def identifier(name: str) -> str:
    """Return the id of a view, which its address holds."""
    return hashlib.md5(name.encode()).hexdigest()


def address(base: str, experiment: str, name: str | None) -> str:
    """Return the address of an experiment's list of runs, on a saved view if it has one."""
    page = f"{base.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    return f"{page}&viewStateShareKey={identifier(name)}" if name else page


def _state(view: View) -> dict[str, Any]:
    """Return a view as MLflow's page stores it."""
    charts = [_chart(number, chart) for number, chart in enumerate(view.charts)]
    group = None
    if view.group_by:
        mode, _, key = view.group_by.partition(".")
        keys = [{"mode": mode.removesuffix("s"), "groupByData": key}]
        group = {"aggregateFunction": "average", "groupByKeys": keys}
    return {
        "selectedColumns": [_column(one) for one in view.columns],
        "orderByKey": _column(view.sort) if view.sort else "attributes.start_time",
        "orderByAsc": view.ascending,
        "searchFilter": view.filter,
        "groupBy": group,
        "compareRunCharts": charts or None,
        "compareRunSections": [
            {
                "uuid": "views",
                "name": "Charts",
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
        ]
        if charts
        else None,
        "isAccordionReordered": True,  # ours first
        "runsHiddenMode": "SHOWALL",
        "useGroupedValuesInCharts": True,
    }


def _column(column: str) -> str:
    kind, _, key = column.partition(".")
    return f"{kind}.`{key}`"


def _chart(number: int, chart: Chart) -> dict[str, Any]:
    scale = "log" if chart.log else "linear"
    common = {"uuid": f"chart-{number}", "metricSectionId": "views", "deleted": False, "isGenerated": False}
    if chart.line:
        return common | {
            "type": "LINE",
            "metricKey": chart.line,
            "selectedMetricKeys": [chart.line],
            "scaleType": scale,
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "lineSmoothness": 0,
        }
    if chart.bar:
        return common | {"type": "BAR", "metricKey": chart.bar}
    axes = {name: _axis(value or "") for name, value in (("xaxis", chart.x), ("yaxis", chart.y))}
    return common | {"type": "SCATTER", "runsCountToCompare": 100, **axes}


def _axis(column: str) -> dict[str, str]:
    kind, _, key = column.partition(".")
    return {"key": key, "type": "PARAM" if kind == "params" else "METRIC"}
