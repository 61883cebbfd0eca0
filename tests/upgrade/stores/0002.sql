BEGIN TRANSACTION;
CREATE TABLE coverage (
    object TEXT NOT NULL,
    from_s REAL NOT NULL,
    to_s   REAL NOT NULL,
    how    TEXT NOT NULL,
    PRIMARY KEY (object, from_s)
) STRICT, WITHOUT ROWID;
INSERT INTO "coverage" VALUES('Account',0.0,1.79558053694462800022e+09,'waived');
INSERT INTO "coverage" VALUES('Account',1.79558053694462800022e+09,1.79583614600385689736e+09,'streamed');
INSERT INTO "coverage" VALUES('Contact',0.0,1.79558053694462800022e+09,'waived');
INSERT INTO "coverage" VALUES('Contact',1.79558053694462800022e+09,1.79583614600385689736e+09,'streamed');
INSERT INTO "coverage" VALUES('Lead',0.0,1.79558053694462800022e+09,'waived');
INSERT INTO "coverage" VALUES('Lead',1.79558053694462800022e+09,1.79583614600385689736e+09,'streamed');
INSERT INTO "coverage" VALUES('Opportunity',0.0,1.79558053694462800022e+09,'waived');
INSERT INTO "coverage" VALUES('Opportunity',1.79558053694462800022e+09,1.79583614600385689736e+09,'streamed');
INSERT INTO "coverage" VALUES('OpportunityContactRole',0.0,1.79557693608172464373e+09,'waived');
INSERT INTO "coverage" VALUES('OpportunityContactRole',1.79557693608172464373e+09,1.79583614599721717829e+09,'polled');
INSERT INTO "coverage" VALUES('User',0.0,1.79558053694462800022e+09,'waived');
INSERT INTO "coverage" VALUES('User',1.79558053694462800022e+09,1.79583614600385689736e+09,'streamed');
CREATE TABLE entry (
    entry_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    object          TEXT NOT NULL,
    record_id       TEXT NOT NULL,
    state           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    pending         BLOB NOT NULL,
    read            TEXT NOT NULL DEFAULT '',
    waits           INTEGER NOT NULL DEFAULT 0,
    attempts        INTEGER NOT NULL DEFAULT 0,
    tries           INTEGER NOT NULL DEFAULT 0,
    due_ms          INTEGER NOT NULL,
    queued_ms       INTEGER NOT NULL,
    later           BLOB,
    later_first_ms  INTEGER NOT NULL DEFAULT 0,
    code            TEXT NOT NULL DEFAULT '',
    cause           TEXT NOT NULL DEFAULT '',
    cure            TEXT NOT NULL DEFAULT '',
    died_ms         INTEGER NOT NULL DEFAULT 0,
    flow            TEXT NOT NULL DEFAULT 'deliver', rank INTEGER NOT NULL DEFAULT 0,
    UNIQUE (object, record_id, flow)
) STRICT;
INSERT INTO "entry" VALUES(13,'Lead','00Q5g0000000002EAA','dead','upsert',X'5B22757073657274222C7B224F776E65724964223A22303035356730303030303030303033414141222C224C6173744E616D65223A2252656675736564222C22456D61696C223A2272656675736564406578616D706C652E636F6D222C224861734F707465644F75744F66456D61696C223A66616C73652C22446F4E6F7443616C6C223A66616C73652C22537461747573223A224F70656E202D204E6F7420436F6E746163746564222C224973436F6E766572746564223A66616C73657D2C747275652C22222C313739353833363134353032355D','',0,1,1,1795836145040,1795836145040,NULL,0,'1006','Marketo has no such field','Name an existing field in the [fields.*] mapping, or let the Marketo admin create it, then retry the dead letter.',1795836145718,'deliver',0);
INSERT INTO "entry" VALUES(15,'Account','0015g0000000001AAA','open','upsert',X'5B22757073657274222C7B2250686F6E65223A2232227D2C66616C73652C22222C313739353833363134363038352C2250686F6E65225D','',0,0,0,1795836147451,1795836146207,NULL,0,'unreachable','Marketo gave no usable answer','',0,'deliver',0);
INSERT INTO "entry" VALUES(16,'Contact','0035g0000000001AAA','open','upsert',X'5B22757073657274222C7B225469746C65223A224469726563746F72227D2C66616C73652C22222C313739353833363134363038375D','',0,0,0,1795836146207,1795836146207,NULL,0,'','','',0,'deliver',0);
INSERT INTO "entry" VALUES(17,'Lead','00Q5g0000000001EAA','open','upsert',X'5B22757073657274222C7B225469746C65223A224368696566227D2C66616C73652C22222C313739353833363134363038385D','',0,0,0,1795836146207,1795836146207,NULL,0,'','','',0,'deliver',0);
INSERT INTO "entry" VALUES(18,'Account','0015g0000000002AAA','open','upsert',X'5B22757073657274222C7B224E616D65223A224E6577222C224F776E65724964223A22303035356730303030303030303033414141227D2C747275652C22222C313739353833363134363039302C224E616D65222C224F776E65724964225D','',0,0,0,1795836147451,1795836146207,NULL,0,'unreachable','Marketo gave no usable answer','',0,'deliver',0);
INSERT INTO "entry" VALUES(19,'Contact','0035g0000000003AAA','open','upsert',X'5B22757073657274222C7B224F776E65724964223A22303035356730303030303030303033414141222C224163636F756E744964223A22303031356730303030303030303032414141222C224C6173744E616D65223A224E6F6F72222C22456D61696C223A226E6F6F72406578616D706C652E636F6D222C224861734F707465644F75744F66456D61696C223A66616C73652C22446F4E6F7443616C6C223A66616C73657D2C747275652C22222C313739353833363134363039325D','',1,0,0,1795836146207,1795836146207,NULL,0,'','','',0,'deliver',0);
INSERT INTO "entry" VALUES(20,'Opportunity','0065g0000000002AAA','open','upsert',X'5B22757073657274222C7B224372656174656444617465223A22323032362D31312D32385430333A32323A32362E3030305A222C224F776E65724964223A22303035356730303030303030303033414141222C224163636F756E744964223A22303031356730303030303030303032414141222C224E616D65223A22426967222C2253746167654E616D65223A2250726F7370656374696E67222C2250726F626162696C697479223A31302E302C22436C6F736544617465223A22323032372D30322D3031222C224973436C6F736564223A66616C73652C224973576F6E223A66616C73652C22466F72656361737443617465676F7279223A22506970656C696E65222C22466F72656361737443617465676F72794E616D65223A22506970656C696E65227D2C66616C73652C2246697363616C2C2046697363616C596561722C2046697363616C5175617274657220666F6C6C6F772066726F6D20436C6F73654461746520616E642077657265206E6F7420696E20746865206576656E74222C313739353833363134363039345D','Fiscal, FiscalYear, FiscalQuarter follow from CloseDate and were not in the event',0,0,0,1795836146207,1795836146207,NULL,0,'','','',0,'deliver',0);
INSERT INTO "entry" VALUES(21,'Lead','00Q5g0000000003EAA','open','upsert',X'5B22757073657274222C7B224F776E65724964223A22303035356730303030303030303033414141222C224C6173744E616D65223A2257616974696E67222C22456D61696C223A2277616974696E67406578616D706C652E636F6D222C224861734F707465644F75744F66456D61696C223A66616C73652C22446F4E6F7443616C6C223A66616C73652C22537461747573223A224F70656E202D204E6F7420436F6E746163746564222C224973436F6E766572746564223A66616C73657D2C747275652C22222C313739353833363134363039365D','',0,0,0,1795836146207,1795836146207,NULL,0,'','','',0,'deliver',0);
INSERT INTO "entry" VALUES(22,'OpportunityContactRole','00K5g0000000002EAA','open','upsert',X'5B22757073657274222C7B22436F6E746163744964223A22303033356730303030303030303033414141222C224372656174656444617465223A22323032362D31312D32385430333A32323A32362E3030302B30303030222C2249735072696D617279223A66616C73652C224F70706F7274756E6974794964223A22303036356730303030303030303032414141222C22526F6C65223A224275796572227D2C747275652C22222C305D','',2,0,0,1795836147074,1795836147074,NULL,0,'','','',0,'deliver',0);
CREATE TABLE note (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "note" VALUES('activities','{"since":1795836144.106699}');
INSERT INTO "note" VALUES('budgets','{"marketo":{"day":"2026-11-27","used":36},"salesforce":{"day":"2026-11-28","used":13},"score_writes":{"day":"2026-11-28","used":1}}');
INSERT INTO "note" VALUES('heartbeat','{"at":1795836148.043094,"pid":23831,"stopped":true,"stream":{"state":"connected","error":"","heard_at":1795836146.201101},"pending":0,"paused":{"code":"unreachable","cause":"Marketo gave no usable answer","cure":"Nothing needs to be done: it goes on by itself."},"held":[],"errors":{"deliver":"","reading":"","reconcile":"","load":"","scores":""},"freshness":{"p50":8.98683214187622,"p99":9.404532670974731},"accepted":9,"calls":{"marketo":{"used":36,"budget":45000,"day":"2026-11-27","last_hour":36},"salesforce":{"used":13,"budget":10000,"day":"2026-11-28","last_hour":13},"score_writes":{"used":1,"budget":10000,"day":"2026-11-28","last_hour":1}},"swept_until":1795836142.8377774,"polled_at":{"OpportunityContactRole":1795836143.7630756},"silent":{}}');
INSERT INTO "note" VALUES('mapping:Account','{"Name":"company","Site":"site","Website":"website","Phone":"mainPhone","AnnualRevenue":"annualRevenue","Industry":"industry","NumberOfEmployees":"numberOfEmployees","Sic":"sicCode","BillingStreet":"billingStreet","BillingCity":"billingCity","BillingState":"billingState","BillingPostalCode":"billingPostalCode","BillingCountry":"billingCountry"}');
INSERT INTO "note" VALUES('mapping:Contact','{"Salutation":"salutation","FirstName":"firstName","MiddleName":"middleName","LastName":"lastName","Title":"title","Email":"email","Phone":"phone","MobilePhone":"mobilePhone","Fax":"fax","HasOptedOutOfEmail":"unsubscribed","DoNotCall":"doNotCall","LeadSource":"leadSource","Description":"mktoPersonNotes","Birthdate":"dateOfBirth","Department":"department","MailingStreet":"address","MailingCity":"city","MailingState":"state","MailingPostalCode":"postalCode","MailingCountry":"country"}');
INSERT INTO "note" VALUES('mapping:Lead','{"Salutation":"salutation","FirstName":"firstName","MiddleName":"middleName","LastName":"lastName","Title":"title","Email":"email","Phone":"phone","MobilePhone":"mobilePhone","Fax":"fax","HasOptedOutOfEmail":"unsubscribed","DoNotCall":"doNotCall","LeadSource":"leadSource","Description":"mktoPersonNotes","Status":"leadStatus","Rating":"rating","Street":"address","City":"city","State":"state","PostalCode":"postalCode","Country":"country"}');
INSERT INTO "note" VALUES('mapping:Opportunity','{"Name":"name","Description":"description","Type":"type","StageName":"stage","Amount":"amount","ExpectedRevenue":"expectedRevenue","CloseDate":"closeDate","Probability":"probability","IsClosed":"isClosed","IsWon":"isWon","NextStep":"nextStep","ForecastCategory":"forecastCategory","ForecastCategoryName":"forecastCategoryName","Fiscal":"fiscal","FiscalYear":"fiscalYear","FiscalQuarter":"fiscalQuarter","LastActivityDate":"lastActivityDate","TotalOpportunityQuantity":"quantity","LeadSource":"leadSource","CreatedDate":"externalCreatedDate"}');
INSERT INTO "note" VALUES('mapping:OpportunityContactRole','{"IsPrimary":"isPrimary","CreatedDate":"externalCreatedDate"}');
INSERT INTO "note" VALUES('mapping:User','{"Email":"email","FirstName":"firstName","LastName":"lastName","Phone":"phone","MobilePhone":"mobilePhone","Title":"title"}');
INSERT INTO "note" VALUES('stream:/data/ChangeEvents','{"objects":["Account","Contact","Lead","Opportunity","User"],"until_s":1795836146.003857}');
INSERT INTO "note" VALUES('sweep','{"after":"","began":1795836147.837803}');
INSERT INTO "note" VALUES('swept:Account','1795836137.3744485');
INSERT INTO "note" VALUES('swept:Contact','1795836137.6145825');
INSERT INTO "note" VALUES('swept:Lead','1795836137.814646');
INSERT INTO "note" VALUES('swept:Opportunity','1795836138.0140762');
INSERT INTO "note" VALUES('swept:User','1795836137.1347384');
INSERT INTO "note" VALUES('swept_until','1795836142.8377774');
CREATE TABLE record (
    object       TEXT NOT NULL,
    record_id    TEXT NOT NULL,
    state        TEXT NOT NULL,
    marketo_id   TEXT,
    owner        TEXT,
    account      TEXT,
    opportunity  TEXT,
    contact      TEXT,
    created      TEXT,
    filled       TEXT NOT NULL DEFAULT '[]',
    sent_key     TEXT,
    converted_to TEXT,
    read_s       INTEGER,
    commit_ms    INTEGER NOT NULL DEFAULT 0,
    txn          TEXT NOT NULL DEFAULT '',
    seq          INTEGER NOT NULL DEFAULT 0, known TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (object, record_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "record" VALUES('Account','0015g0000000001AAA','synced','1002','0055g0000000003AAA',NULL,NULL,NULL,'2026-11-28T03:22:12.000Z','["company","externalSalesPersonId","mainPhone"]',NULL,NULL,NULL,1795836146085,'00c1cb63-4773-3e84-7d71-8d733ff98ff3',1,'{"Name":"13W61BlS","OwnerId":"70DPLQCX","Phone":"Vg3jkNt8"}');
INSERT INTO "record" VALUES('Account','0015g0000000002AAA','seen',NULL,'0055g0000000003AAA',NULL,NULL,NULL,'2026-11-28T03:22:26.000Z','[]',NULL,NULL,NULL,1795836146090,'00838af8-d5c4-4a4e-b317-2062d08f1bb2',1,'{"Name":"2HocV+wK","OwnerId":"70DPLQCX"}');
INSERT INTO "record" VALUES('Contact','0035g0000000001AAA','synced','1003','0055g0000000003AAA','0015g0000000001AAA',NULL,NULL,'2026-11-28T03:22:12.000Z','["doNotCall","email","externalCompanyId","externalSalesPersonId","lastName"]',NULL,NULL,NULL,1795836146087,'00667bff-e202-849d-a964-3a295a9ac6de',1,'{"OwnerId":"70DPLQCX","AccountId":"PCOLKJXw","LastName":"lwHQr1Ou","Email":"2hdUmnbv","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I","Title":"sEVXwsOu"}');
INSERT INTO "record" VALUES('Contact','0035g0000000002AAA','synced','1004','0055g0000000003AAA','0015g0000000001AAA',NULL,NULL,'2026-11-28T03:22:12.000Z','["doNotCall","email","externalCompanyId","externalSalesPersonId","lastName"]',NULL,NULL,NULL,1795836132419,'00154e76-e4c1-1ab2-fec3-f6b32e8d4b8a',1,'{"OwnerId":"70DPLQCX","AccountId":"PCOLKJXw","LastName":"jDMnBpph","Email":"Mx7eVmjY","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I"}');
INSERT INTO "record" VALUES('Contact','0035g0000000003AAA','seen',NULL,'0055g0000000003AAA','0015g0000000002AAA',NULL,NULL,'2026-11-28T03:22:26.000Z','[]',NULL,NULL,NULL,1795836146092,'00a4daeb-4f3f-8777-7ad1-f45ae9500ec9',1,'{"OwnerId":"70DPLQCX","AccountId":"1LFgalAN","LastName":"PJuOtpLH","Email":"SjAl3U3G","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I"}');
INSERT INTO "record" VALUES('Lead','00Q5g0000000001EAA','synced','1005','0055g0000000003AAA',NULL,NULL,NULL,'2026-11-28T03:22:12.000Z','["doNotCall","email","externalSalesPersonId","lastName","leadStatus"]',NULL,NULL,NULL,1795836146088,'00492f25-8ebd-bfe3-eb9a-c688b9d39cca',1,'{"OwnerId":"70DPLQCX","LastName":"gs/eiEdL","Email":"I1uxGSKo","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I","Status":"kdfNANus","IsConverted":"mYIKnF8I","Title":"vhnI9dTf"}');
INSERT INTO "record" VALUES('Lead','00Q5g0000000002EAA','seen',NULL,'0055g0000000003AAA',NULL,NULL,NULL,'2026-11-28T03:22:25.000Z','[]',NULL,NULL,NULL,1795836145025,'005d7435-c106-6932-f476-7f26294365b2',1,'{"OwnerId":"70DPLQCX","LastName":"b5XbBnml","Email":"c6KwoUb5","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I","Status":"kdfNANus","IsConverted":"mYIKnF8I"}');
INSERT INTO "record" VALUES('Lead','00Q5g0000000003EAA','seen',NULL,'0055g0000000003AAA',NULL,NULL,NULL,'2026-11-28T03:22:26.000Z','[]',NULL,NULL,NULL,1795836146096,'00c69069-134b-ccd3-e1cf-4f589f8e4ce0',1,'{"OwnerId":"70DPLQCX","LastName":"b+wuSn/7","Email":"5tsWG6c6","HasOptedOutOfEmail":"mYIKnF8I","DoNotCall":"mYIKnF8I","Status":"kdfNANus","IsConverted":"mYIKnF8I"}');
INSERT INTO "record" VALUES('Opportunity','0065g0000000001AAA','synced','00000000-0000-03ee-0000-000000000000','0055g0000000003AAA','0015g0000000001AAA',NULL,NULL,'2026-11-28T03:22:12.000+0000','["amount","closeDate","expectedRevenue","externalCompanyId","externalCreatedDate","externalSalesPersonId","fiscal","fiscalQuarter","fiscalYear","forecastCategory","forecastCategoryName","isClosed","isWon","name","probability","stage"]',NULL,NULL,1795836132,1795836132414,'003d854e-061b-9030-3b08-c6e33c729578',1,'{"AccountId":"PCOLKJXw","Amount":"nGsJI4Kg","CloseDate":"jZ5KX69D","CreatedDate":"x9O9UYpU","ExpectedRevenue":"ebSvlE6z","Fiscal":"J1uCEz0S","FiscalQuarter":"aImpXKyu","FiscalYear":"MogiMMyO","ForecastCategory":"iXol2sx5","ForecastCategoryName":"iXol2sx5","IsClosed":"mYIKnF8I","IsWon":"mYIKnF8I","Name":"1bCkaQtL","OwnerId":"70DPLQCX","Probability":"NbtZvsqt","StageName":"mQL0qSDr"}');
INSERT INTO "record" VALUES('Opportunity','0065g0000000002AAA','seen',NULL,'0055g0000000003AAA','0015g0000000002AAA',NULL,NULL,'2026-11-28T03:22:26.000Z','[]',NULL,NULL,NULL,1795836146094,'00c3181c-81e2-20df-848b-1df78feb994a',1,'{"CreatedDate":"nJGNcC5k","OwnerId":"70DPLQCX","AccountId":"1LFgalAN","Name":"jEErfF//","StageName":"mQL0qSDr","Probability":"NbtZvsqt","CloseDate":"kZnGO7j1","IsClosed":"mYIKnF8I","IsWon":"mYIKnF8I","ForecastCategory":"iXol2sx5","ForecastCategoryName":"iXol2sx5"}');
INSERT INTO "record" VALUES('OpportunityContactRole','00K5g0000000001EAA','synced','00000000-0000-03ef-0000-000000000000',NULL,NULL,'0065g0000000001AAA','0035g0000000001AAA','2026-11-28T03:22:12.000+0000','["externalCreatedDate","isPrimary"]','["0065g0000000001AAA",1003,"Buyer"]',NULL,1795836132,0,'',0,'{"ContactId":"sJffnp9v","CreatedDate":"x9O9UYpU","IsPrimary":"mYIKnF8I","OpportunityId":"HPcS55vC","Role":"RUGNRAQA"}');
INSERT INTO "record" VALUES('OpportunityContactRole','00K5g0000000002EAA','seen',NULL,NULL,NULL,'0065g0000000002AAA','0035g0000000003AAA','2026-11-28T03:22:26.000+0000','[]',NULL,NULL,1795836146,0,'',0,'{"ContactId":"Of7/T70e","CreatedDate":"nJGNcC5k","IsPrimary":"mYIKnF8I","OpportunityId":"osHjXefB","Role":"RUGNRAQA"}');
INSERT INTO "record" VALUES('User','0055g0000000001AAA','synced','1008',NULL,NULL,NULL,NULL,'2026-11-28T03:22:08.000+0000','["email","firstName","lastName","title"]',NULL,NULL,1795836132,1795836132294,'007219d3-0e7a-269f-d95b-afc8f2a4d27b',1,'{"Email":"u2qMjBzI","FirstName":"B4+6ggLD","IsActive":"k0GkFe7I","LastName":"mTrRVT7J","Title":"mTrRVT7J","UserType":"Gzb4Zltn"}');
INSERT INTO "record" VALUES('User','0055g0000000002AAA','synced','1009',NULL,NULL,NULL,NULL,'2026-11-28T03:22:08.000+0000','["email","firstName","lastName","title"]',NULL,NULL,1795836132,1795836132298,'00e207f8-da94-e3e8-ab73-738fcf1822ff',1,'{"Email":"6of8okj6","FirstName":"RIBDERm/","IsActive":"k0GkFe7I","LastName":"k04EcPsc","Title":"mTrRVT7J","UserType":"Gzb4Zltn"}');
INSERT INTO "record" VALUES('User','0055g0000000003AAA','synced','1001',NULL,NULL,NULL,NULL,'2026-11-28T03:22:12.000Z','["email","lastName"]',NULL,NULL,NULL,1795836132300,'00ed9235-288b-c781-ae66-267594c9c950',1,'{"LastName":"lN/HdSvY","Email":"K8YKck+G","IsActive":"k0GkFe7I","UserType":"Gzb4Zltn"}');
CREATE TABLE replay (
    channel   TEXT PRIMARY KEY,
    replay_id INTEGER NOT NULL,
    commit_ms INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "replay" VALUES('/data/ChangeEvents',2255340,1795836146096,1795836146207);
CREATE TABLE score (
    object    TEXT NOT NULL,
    record_id TEXT NOT NULL,
    written   TEXT,
    attempts  INTEGER NOT NULL DEFAULT 0,
    due_ms    INTEGER NOT NULL DEFAULT 0,
    stopped   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (object, record_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "score" VALUES('Lead','00Q5g0000000001EAA','{"mkto_si__Last_Interesting_Moment_Type__c":"Web","mkto_si__Last_Interesting_Moment_Date__c":"2026-11-28T03:22:21.000+0000","mkto_si__Last_Interesting_Moment_Desc__c":"Saw the price","mkto_si__Last_Interesting_Moment_Source__c":"Site","mkto_si__Priority__c":null,"mkto_si__Urgency_Value__c":null,"mkto_si__Relative_Score_Value__c":null}',0,0,'');
CREATE TABLE wait (
    entry_id      INTEGER NOT NULL REFERENCES entry (entry_id) ON DELETE CASCADE,
    parent_object TEXT NOT NULL,
    parent_id     TEXT NOT NULL,
    PRIMARY KEY (entry_id, parent_object, parent_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "wait" VALUES(19,'Account','0015g0000000002AAA');
INSERT INTO "wait" VALUES(22,'Contact','0035g0000000003AAA');
INSERT INTO "wait" VALUES(22,'Opportunity','0065g0000000002AAA');
CREATE INDEX record_marketo ON record (marketo_id, object) WHERE marketo_id IS NOT NULL;
CREATE INDEX record_sent_key ON record (sent_key) WHERE sent_key IS NOT NULL;
CREATE INDEX record_owner ON record (owner) WHERE owner IS NOT NULL;
CREATE INDEX record_account ON record (account) WHERE account IS NOT NULL;
CREATE INDEX record_opportunity ON record (opportunity) WHERE opportunity IS NOT NULL;
CREATE INDEX record_contact ON record (contact) WHERE contact IS NOT NULL;
CREATE INDEX entry_to_read ON entry (object, due_ms, entry_id) WHERE state = 'open' AND read <> '';
CREATE INDEX entry_in_flight ON entry (entry_id) WHERE state = 'in_flight';
CREATE INDEX entry_dead ON entry (code, entry_id) WHERE state = 'dead';
CREATE INDEX wait_parent ON wait (parent_object, parent_id);
CREATE INDEX score_due ON score (due_ms) WHERE due_ms > 0;
CREATE INDEX entry_ready ON entry (object, kind, rank, due_ms, entry_id) WHERE state = 'open' AND waits = 0 AND read = '';
CREATE INDEX entry_loaded ON entry (entry_id) WHERE rank = 1 AND state <> 'dead';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('entry',24);
COMMIT;
PRAGMA application_id = 1297303891;
PRAGMA user_version = 2;
