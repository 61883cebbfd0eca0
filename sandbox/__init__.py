"""The simulated Salesforce and Marketo, for the demo and the tests. The daemon never imports it."""
