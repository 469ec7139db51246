"""curate: from one domain name to a trained model."""
