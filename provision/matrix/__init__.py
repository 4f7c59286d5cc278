"""The compatibility matrix: matrix.yaml, its schema and the lookups. Facts live in the file, never in code."""

from .load import default_matrix, default_matrix_path, is_site_file, load_matrix, read_matrix
from .tables import Matrix

__all__ = ("Matrix", "default_matrix", "default_matrix_path", "is_site_file", "load_matrix", "read_matrix")
