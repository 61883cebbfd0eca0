# Alerts on msi-stream's log, for jq 1.6 and newer: reads the lines of the last two hours, prints a line for each alert that fires.
#   journalctl -u msi-stream.service --since -2h -o cat | jq -cnR --argjson now "$(date +%s)" -f msi-stream-alerts.jq
# Where nothing is printed, nothing is wrong. Thresholds and names are those of loki-rules.yaml; the cures are in docs/operation.md.

def at: .timestamp | sub("\\.[0-9]+"; "") | fromdateiso8601;
def seconds_ago($most): map(select($now - .at <= $most));
def beats: map(select(.event == "heartbeat"));
# Whether it was so in each heartbeat of the last so many seconds, and has been looked at for that long.
def all_along($seconds; condition):
  . as $lines | beats | seconds_ago($seconds) | length > 0 and all(condition)
  and ($lines | beats | any($now - .at >= $seconds - 120));
def lately($seconds; condition): seconds_ago($seconds) | any(condition);
def alert($name; $severity; condition; told): if condition then {alert: $name, severity: $severity, told: told} else empty end;

[inputs | (try fromjson catch empty) | select(type == "object" and has("event") and has("timestamp")) | . + {at: at}]
| map(select(.at <= $now)) | sort_by(.at) | . as $lines
| (beats | last) as $last
| ($last // {}) as $beat
| (
    alert("MsiStreamNoHeartbeat"; "critical"; $lines | beats | seconds_ago(300) | length == 0;
      "no heartbeat for five minutes"),
    ($lines | (
    alert("MsiStreamLost"; "critical"; all_along(600; .stream != "connected"); "nothing comes from Salesforce"),
    alert("MsiStreamLossNears"; "critical"; lately(180; .event == "heartbeat" and .hours_to_loss != null and .hours_to_loss < 24);
      "hours until Salesforce begins to forget: \($beat.hours_to_loss)"),
    alert("MsiStreamNotDelivering"; "critical"; all_along(600; .paused != "" or (.failing | index("deliver"))); "nothing goes to Marketo: \($beat.paused)"),
    alert("MsiStreamPoisoned"; "critical"; lately(180; .event == "heartbeat" and .poisoned != ""); "delivery has stopped itself: \($beat.poisoned)"),
    alert("MsiStreamStoreBlocked"; "critical"; all_along(300; .store != ""); $beat.store),
    alert("MsiStreamDeadLetters"; "warning"; lately(180; .event == "heartbeat" and (.dead // 0) > 0); "\($beat.dead) dead letters"),
    alert("MsiStreamQuota"; "warning";
      all_along(600; .calls != null and (.calls | any(.[]; .forecast > .budget)));
      "a day's budget will be used up before the day ends: \([$beat.calls | to_entries[]? | select(.value.forecast > .value.budget) | .key] | join(", "))"),
    alert("MsiStreamDrift"; "warning"; lately(3600; .event == "heartbeat" and .missed > 0); "a sweep found changes that the stream had not brought"),
    alert("MsiStreamObjectSilent"; "warning"; lately(180; .event == "heartbeat" and (.silent | length) > 0); "the stream brings nothing of: \($beat.silent // [] | join(", "))"),
    alert("MsiStreamRestarts"; "warning";
      seconds_ago(3600) | map(select(.event == "daemon_started" and .previous_run == "unexpectedly")) | length >= 2;
      "it has ended unexpectedly, again and again"),
    alert("MsiStreamLoopHangs"; "critical"; lately(600; .event == "loop_hangs"); "a loop hangs"),
    alert("MsiStreamLeaving"; "critical"; lately(180; .event == "heartbeat" and (.held | index("leaving")));
      "so many records left their filter that they wait for a person: is it mistyped?"),
    alert("MsiStreamHeld"; "info"; all_along(1800; (.held | index("deliver")) and .poisoned == ""); "delivery is paused by the operator")
    ))
  )
