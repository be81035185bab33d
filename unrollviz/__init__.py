"""unrollviz: see, step through and take apart backpropagation through time.

    import unrollviz as uz
    net = uz.Network.init("elman", inputs=4, hidden=3, outputs=4, seed=0)
    run = uz.unroll(net, xs, targets)
    for path in run.paths("L4", "W"):
        print(path.nodes, path.norm, path.share)

Names are loaded when first used, so that importing the package stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrollviz.allowance import limits
    from unrollviz.api import Network, Run, unroll
    from unrollviz.check import Report
    from unrollviz.comparison.compare import Comparison, diff
    from unrollviz.diagnosis.diagnose import Diagnosis
    from unrollviz.errors import TooManyPaths, UnrollvizError
    from unrollviz.flows.flow import Flow
    from unrollviz.history import History
    from unrollviz.paths.pathset import Path, PathSet
    from unrollviz.samples import adding, article, first_names, spell, sunspots
    from unrollviz.training.learning import Trained, train
    from unrollviz.tui.app import debug
    from unrollviz.unrolled import Unrolled

__version__ = "0.1.0"

_HOME = {
    "Comparison": "comparison.compare",
    "Diagnosis": "diagnosis.diagnose",
    "Flow": "flows.flow",
    "History": "history",
    "Network": "api",
    "Path": "paths.pathset",
    "PathSet": "paths.pathset",
    "Report": "check",
    "Run": "api",
    "TooManyPaths": "errors",
    "Trained": "training.learning",
    "Unrolled": "unrolled",
    "UnrollvizError": "errors",
    "adding": "samples",
    "article": "samples",
    "debug": "tui.app",
    "diff": "comparison.compare",
    "first_names": "samples",
    "limits": "allowance",
    "spell": "samples",
    "sunspots": "samples",
    "train": "training.learning",
    "unroll": "api",
}

__all__ = [
    "Comparison",
    "Diagnosis",
    "Flow",
    "History",
    "Network",
    "Path",
    "PathSet",
    "Report",
    "Run",
    "TooManyPaths",
    "Trained",
    "Unrolled",
    "UnrollvizError",
    "__version__",
    "adding",
    "article",
    "debug",
    "diff",
    "first_names",
    "limits",
    "spell",
    "sunspots",
    "train",
    "unroll",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unrollviz' has no attribute '{name}'")
    value = getattr(import_module(f"unrollviz.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
