"""The comparison: tables, sentences, charts, and the pages made of them."""
