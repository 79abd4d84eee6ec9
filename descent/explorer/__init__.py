"""reports/explorer.html: the experiment as a page to play with, in one file that works without a network."""
