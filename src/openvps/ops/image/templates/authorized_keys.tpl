{{ config_get("user.openvps.authorized_keys", "")|safe }}
