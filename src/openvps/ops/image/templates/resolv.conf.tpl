{% for address in config_get("user.openvps.nameservers", "")|split:" " %}{% if address %}nameserver {{ address|safe }}
{% endif %}{% endfor %}
