"""The transport: servers, clients and work queues that carry frames between authenticated peers."""
