"""The events of a fleet as Parquet tables, and queries on them."""
