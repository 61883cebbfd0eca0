"""What a CometD client makes of a service that fails: the daemon's capture beside three clients of others.

service    the simulated Salesforce in a process of its own: publishes, does the harm, notes each request
clients    programs that print what they received: the daemon's capture, `aiosfstream-ng`, npm `cometd`, npm `jsforce`
running    one client under one torture
judging    lost, doubled, seconds to notice and to recover, from what was noted: values in, values out
figures    the rows
"""
