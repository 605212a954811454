"""What is written on a server's disk to be found again: a file of each kind, and how all of it is compared."""

MANIFEST = (
    "cd /srv && find . -printf '%P %y %m %U %G %n %l\\n' | sort; find . -type f -exec sha256sum {} + | sort; "
    "getfattr -Rd -m - . 2>/dev/null; getcap -r /srv"
)
FILL = """
mkdir -p /srv/data && cd /srv/data && head -c 3000000 /dev/urandom > big && ln big linked && ln -s big symbolic
mkfifo pipe && install -o 33 -g 70000 -m 4750 /bin/true owned && echo old > note && touch 'a name with spaces'
setcap cap_net_raw+ep owned 2>/dev/null
python3 -c "import os; os.setxattr('note', 'user.mine', b'\\x01\\xff')" 2>/dev/null
truncate -s 40M sparse && printf end >> sparse
"""

SPARSE, FEW = "stat -c %b /srv/data/sparse", 100  # its blocks of 512 bytes, of 80,000
