"""Whole experiments: descriptions, the steps that they take, tables, figures and pages."""
