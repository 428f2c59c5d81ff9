"""SMOTE for models of features: reviews of rarer classes that never were (Chawla et al. 2002)."""

import numpy as np

from models.rows import Rows
from mpi_train.data import SplitReader
from reviews.errors import UserError
from reviews.store import Store


def synthetic_rows(store: Store, seed: int) -> Rows:
    """As many reviews as make all classes equally large, between neighbours of a class.

    They have features and a label, and one unknown word for a text. All training features are
    held in memory for it. Every rank comes to the same rows.
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise UserError("--smote needs imbalanced-learn: pip install 'reviewmill[features]'"
                        ) from None
    blocks = [rows for _, rows in SplitReader(store, "train", features=True).blocks(0, [1.0])]
    features = np.concatenate([rows.features for rows in blocks if rows.features is not None])
    labels = np.concatenate([rows.labels for rows in blocks])
    counts = np.bincount(labels)
    fewest = int(counts[counts > 0].min())
    if fewest < 2:
        raise UserError("--smote lies between two reviews of a class, and one class has only one")
    sampler = SMOTE(random_state=seed, k_neighbors=min(5, fewest - 1))
    more, more_labels = sampler.fit_resample(features, labels)[:2]
    added = slice(len(labels), None)  # behind those that there are
    n = len(more_labels) - len(labels)
    tokens = np.full((n, store.length), store.padding, blocks[0].tokens.dtype)
    tokens[:, 0] = store.unknown
    return Rows(tokens, np.ones(n, np.int64), more_labels[added].astype(np.uint8),
                more[added].astype(np.float32))
