"""Who answers: a server over HTTP, or the offline model in this process. One Protocol for all."""
