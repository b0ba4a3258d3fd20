"""The events of a fleet as Parquet tables, and questions to them."""
