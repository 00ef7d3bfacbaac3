"""What a search may see, as a condition on the table's rows."""

from __future__ import annotations

from collections.abc import Mapping

from lancedb.expr import Expr, col, lit

from parley_rag.requests import Scope


def visible(scope: Scope) -> Expr:
    """The rows that `scope` may see."""
    expression = col("tenant") == lit(scope.tenant)
    expression = expression & col("access").isin([lit(group) for group in scope.groups])
    expression = expression & (col("valid_from") <= lit(scope.day)) & (col("valid_until") >= lit(scope.day))
    if scope.specialties:
        expression = expression & col("specialty").isin([lit(name) for name in scope.specialties])
    for column, value in scope.equal:
        expression = expression & _is(column, value)
    return expression


def _is(column: str, value: str) -> Expr:
    same = col(column) == lit(value)
    if column != "language":
        return same
    # en means every English, en-GB only that one; "." follows "-", and the table knows no prefixes.
    return same | ((col(column) >= lit(f"{value}-")) & (col(column) < lit(f"{value}.")))


def beyond(tenant: str, counts: Mapping[str, int]) -> Expr:
    """The rows of each document past its count."""
    parts = [(col("document") == lit(document)) & (col("number") >= lit(count)) for document, count in counts.items()]
    expression = parts[0]
    for part in parts[1:]:
        expression = expression | part
    return (col("tenant") == lit(tenant)) & expression
