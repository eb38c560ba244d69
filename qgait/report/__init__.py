"""A report that is one HTML file: ``facts`` are plain data, ``render`` turns them into the page."""
