"""The sample third party: what a company's own systems would be for the specialists' tools."""
