"""msi-stream: the daemon that keeps Marketo in step with Salesforce."""
