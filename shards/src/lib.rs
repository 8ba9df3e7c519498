//! One pinned loop per core.
