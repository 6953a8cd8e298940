"""The report's pages and figures."""
