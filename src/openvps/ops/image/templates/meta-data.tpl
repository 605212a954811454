instance-id: "{{ instance.name|urlencode }}"
local-hostname: "{{ config_get("user.openvps.hostname", instance.name)|urlencode }}"
