"""FLaaS: Federated Learning as a Service, the server."""
