"""A study is a declaration: a question, a grid under one protocol, and what is drawn of it."""
