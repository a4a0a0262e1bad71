"""The frame of every page: layout, parts, headers, error pages."""
