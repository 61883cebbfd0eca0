"""A simulated Salesforce: `server.SimulatedSalesforce` over `org.Org`, as strict as the real one where a client could go wrong.

    org        records, transactions, conversion, merge, recycle bin     events, publisher, journal   Change Data Capture
    oauth      sign-in and tokens                                        bayeux                       Streaming API
    rest       versions, limits, describe, queries (soql, query)         sobjects                     single records, collections
    bulk       Bulk API 2.0 query jobs and their CSV                     person_accounts              accounts that are people

Left out: Bulk API ingest, sharing and record types, custom channels and enrichment, composite requests and
subrequests, SOQL's GROUP BY, subqueries and relative dates, picklist restriction. Where Salesforce's own words or codes are not
documented (more than ten chunks in a collection, one id twice, a JWT valid for too long) the wording is ours.
"""
