CREATE TABLE backoffice.customers (
    customer_id  text PRIMARY KEY,
    name         text NOT NULL,
    email        text NOT NULL,
    phone        text NOT NULL,
    account_type text NOT NULL CHECK (account_type IN ('standard', 'business')),
    address      jsonb NOT NULL,
    language     text NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE backoffice.orders (
    order_id     text PRIMARY KEY,
    customer_id  text NOT NULL REFERENCES backoffice.customers,
    status       text NOT NULL CHECK (status IN ('received', 'packed', 'sent', 'delivered', 'cancelled')),
    items        jsonb NOT NULL,
    total        numeric(12, 2) NOT NULL CHECK (total > 0),
    currency     text NOT NULL,
    carrier      text,
    tracking     text,
    placed_at    timestamptz NOT NULL,
    delivered_at timestamptz CHECK (delivered_at >= placed_at),
    CHECK ((status = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX orders_of_a_customer ON backoffice.orders (customer_id, placed_at DESC);

CREATE TABLE backoffice.invoices (
    invoice_id  text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES backoffice.customers,
    order_id    text NOT NULL UNIQUE REFERENCES backoffice.orders,
    status      text NOT NULL CHECK (status IN ('open', 'paid', 'void')),
    total       numeric(12, 2) NOT NULL CHECK (total > 0),
    currency    text NOT NULL,
    issued_at   timestamptz NOT NULL,
    due_on      date NOT NULL
);
CREATE INDEX invoices_of_a_customer ON backoffice.invoices (customer_id, issued_at DESC);

CREATE TABLE backoffice.payments (
    payment_id  text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES backoffice.customers,
    invoice_id  text NOT NULL REFERENCES backoffice.invoices,
    amount      numeric(12, 2) NOT NULL CHECK (amount > 0),
    refunded    numeric(12, 2) NOT NULL DEFAULT 0 CHECK (refunded >= 0 AND refunded <= amount),
    currency    text NOT NULL,
    method      text NOT NULL CHECK (method IN ('card', 'paypal', 'wallet')),
    status      text NOT NULL CHECK (
        status IN ('captured', 'pending', 'failed', 'released', 'refunded', 'partially_refunded')
    ),
    created_at  timestamptz NOT NULL
);
CREATE INDEX payments_of_a_customer ON backoffice.payments (customer_id, created_at DESC);
CREATE INDEX payments_of_an_invoice ON backoffice.payments (invoice_id);

-- The unique key is the last line of defence: no payment is given back twice, whatever the program does.
CREATE SEQUENCE backoffice.refund_numbers START 550001;
CREATE TABLE backoffice.refunds (
    refund_id   text PRIMARY KEY DEFAULT 'REF-' || nextval('backoffice.refund_numbers'),
    customer_id text NOT NULL REFERENCES backoffice.customers,
    payment_id  text NOT NULL UNIQUE REFERENCES backoffice.payments,
    amount      numeric(12, 2) NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    reason      text NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX refunds_of_a_customer ON backoffice.refunds (customer_id, created_at DESC);

CREATE TABLE backoffice.devices (
    device_id       text PRIMARY KEY,
    customer_id     text NOT NULL REFERENCES backoffice.customers,
    kind            text NOT NULL CHECK (kind IN ('router', 'phone', 'speaker', 'tv', 'e-reader')),
    model           text NOT NULL,
    firmware        text NOT NULL,
    latest_firmware text NOT NULL,
    status          text NOT NULL CHECK (status IN ('online', 'offline')),
    signal_dbm      integer CHECK (signal_dbm BETWEEN -120 AND 0),
    last_seen       timestamptz NOT NULL,
    restarted_at    timestamptz,
    CHECK ((status = 'online') = (signal_dbm IS NOT NULL))
);
CREATE INDEX devices_of_a_customer ON backoffice.devices (customer_id);

CREATE SEQUENCE backoffice.return_numbers START 650001;
CREATE TABLE backoffice.returns (
    return_id   text PRIMARY KEY DEFAULT 'RET-' || nextval('backoffice.return_numbers'),
    customer_id text NOT NULL REFERENCES backoffice.customers,
    order_id    text NOT NULL UNIQUE REFERENCES backoffice.orders,
    status      text NOT NULL CHECK (status IN ('requested', 'on_its_way', 'arrived', 'checked', 'refunded')),
    reason      text NOT NULL,
    send_by     date NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX returns_of_a_customer ON backoffice.returns (customer_id, created_at DESC);

CREATE TABLE backoffice.subscriptions (
    customer_id text PRIMARY KEY REFERENCES backoffice.customers,
    plan        text NOT NULL,
    status      text NOT NULL CHECK (status IN ('active', 'cancelled')),
    price       numeric(12, 2) NOT NULL CHECK (price > 0),
    currency    text NOT NULL,
    started_on  date NOT NULL,
    ends_on     date,
    CHECK ((status = 'cancelled') = (ends_on IS NOT NULL))
);

CREATE SEQUENCE backoffice.ticket_numbers START 750001;
CREATE TABLE backoffice.tickets (
    ticket_id   text PRIMARY KEY DEFAULT 'TIC-' || nextval('backoffice.ticket_numbers'),
    customer_id text NOT NULL REFERENCES backoffice.customers,
    subject     text NOT NULL,
    body        text NOT NULL,
    status      text NOT NULL CHECK (status IN ('open', 'closed')),
    created_at  timestamptz NOT NULL
);
CREATE INDEX tickets_of_a_customer ON backoffice.tickets (customer_id, created_at DESC);

CREATE TABLE backoffice.password_resets (
    reset_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL REFERENCES backoffice.customers,
    sent_to     text NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX password_resets_of_a_customer ON backoffice.password_resets (customer_id, created_at DESC);

-- Which made-up data was already laid down, so that a restart does not bring back what was changed.
CREATE TABLE backoffice.seeds (
    name      text PRIMARY KEY,
    seeded_at timestamptz NOT NULL
);
