127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
# The server's own name is answered by nss-myhostname, so that renaming needs no change here.
