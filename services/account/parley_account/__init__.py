"""A customer's own data: e-mail, phone, address, password."""
