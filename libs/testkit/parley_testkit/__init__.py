"""What the tests share: servers, a running mesh, a scripted provider."""
