"""Run by the Python that has scanpy: open exported files, use them, write them back, and tell what was found as JSON."""

import json
import sys
import warnings

import anndata
import numpy as np
import scanpy


def opened(path: str) -> dict:
    """What anndata and scanpy make of a file."""
    data = anndata.read_h5ad(path)
    found = {
        "shape": data.shape,
        "dtype": str(data.X.dtype),
        "sum": float(data.X.astype(np.float64).sum()),
        "obs": {name: str(kind) for name, kind in data.obs.dtypes.items()},
        "first": {name: str(value) for name, value in data.obs.iloc[0].items()},
        "obs_names": list(data.obs_names),
        "index": data.obs_names.name,
        "var": data.var.astype(str).to_dict("list"),
        "var_names": list(data.var_names),
        "obsm": {name: data.obsm[name].tolist() for name in data.obsm},
        "layers": {name: float(data.layers[name].sum()) for name in data.layers},
        "uns": json.loads(json.dumps(data.uns["phenorep"], default=np.ndarray.tolist)),
    }
    scanpy.pp.pca(data, n_comps=2)
    # Without UMAP, which compiles for half a minute.
    scanpy.pp.neighbors(data, n_neighbors=3, method="gauss", transformer="sklearn")
    found["neighbours"] = int(data.obsp["connectivities"].nnz)
    data.write_h5ad(f"{path}.again")
    again = anndata.read_h5ad(f"{path}.again")
    same = (again.X == data.X).all() and again.obs.equals(data.obs) and again.var.equals(data.var)
    found["again"] = bool(same and again.uns["phenorep"].keys() == found["uns"].keys())
    return found


if __name__ == "__main__":
    # What anndata says of a file that it reads, as of an old or odd format, is a failure here.
    warnings.filterwarnings("error", module="anndata")
    warnings.filterwarnings("error", category=anndata.OldFormatWarning)
    print(json.dumps({path: opened(path) for path in sys.argv[1:]}))
