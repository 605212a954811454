{{ config_get("user.openvps.hostname", instance.name)|safe }}
