"""Payments, double charges, refunds, invoices and the Plus membership."""
