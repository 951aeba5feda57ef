#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ours makes room for a pod of the controller's that finds no place on this node for another reason."""
from host import daemonset, main
from test_handover import HandoverHost, with_port

LONG = 100  # seconds: HANDOVER_UNPLACED, and a slow machine
BACK = "if it is not scheduled the static pod comes back"
IN_VAIN = "the static pod had made room for it in vain"


class Room(HandoverHost):
    removal_delay = "0s"

    def wait_message(self, name, text):
        self.wait_for(lambda: text in self.row(name)["message"], f"{name} to say: {text}")

    def wait_ours(self, name):
        self.wait_for(lambda: self.world.copies(name) == (1, 0), f"ours of {name} to be back", LONG)

    def test_there_is_none_and_then_there_is(self):
        one, two = with_port("one"), with_port("two")
        two["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 9101, "hostPort": 9101}]
        self.world.is_full = True
        self.runs(one, two)
        for o in one, two:
            self.server.apply(o)
        for name in "one", "two":
            self.wait_reason(name, "HandedOver")
            self.wait_message(name, BACK)
        [theirs] = self.pods("one")
        # A process that is started anew waits anew, and knows what for, although the file has no port any more.
        self.agent_restarts()
        self.local(daemonset("two"))
        for name in "one", "two":
            self.wait_message(name, BACK)
        # One cannot be asked for a moment: that does not begin it anew, and is no reason to come back at once.
        self.server.drop_connections("cut")
        self.wait_all_live()
        for name in "one", "two":
            self.assertEqual(self.world.copies(name), (0, 0))
        for name in "one", "two":
            self.wait_ours(name)
        self.wait_message("one", IN_VAIN)
        self.wait_message("two", "the static pod stays until it is Ready")
        self.assertEqual(self.row("one")["reason"], "HandingOver")
        self.assertEqual(self.log().count("taken back: its pod was not scheduled"), 2)
        self.assertEqual(self.counter("takebacks"), 2)
        # It stays, also when the process is another one, for that pod.
        self.agent_restarts()
        self.wait_message("one", IN_VAIN)
        self.check_ours_stays()
        self.assertEqual([p["metadata"]["uid"] for p in self.pods("one")], [theirs["metadata"]["uid"]])
        # The next one is given its chance at once.
        self.world.is_full = False
        self.world.delete_pod(theirs)
        self.wait_copies(0, 1)
        self.wait_handed_over()
        self.assertEqual(self.log().count("daemonlet_kube-system_one.json: handed over: "), 2)


if __name__ == "__main__":
    main()
