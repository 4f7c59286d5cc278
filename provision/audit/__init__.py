"""The matrix against the package indexes: row by row, by project pages and core metadata, no wheel is downloaded."""
