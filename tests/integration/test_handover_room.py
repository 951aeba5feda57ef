#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ours makes room for a pod of the controller's that finds no place on this node for another reason."""
from host import main
from test_handover import HandoverHost, with_port

LONG = 100  # seconds: HANDOVER_UNPLACED, and a slow machine


class Room(HandoverHost):
    removal_delay = "0s"

    def wait_message(self, text, deadline=None):
        self.wait_for(lambda: text in (self.row("one") or {}).get("message", ""), f"one to say: {text}", deadline)

    def test_there_is_none_and_then_there_is(self):
        one = with_port("one")
        self.world.is_full = True
        self.runs(one)
        self.server.apply(one)
        self.wait_reason("one", "HandedOver")
        self.wait_message("is pending; if it is not scheduled the static pod comes back")
        [theirs] = self.world.theirs("one")
        # A process that is started anew waits anew, and knows what for.
        self.agent_restarts()
        self.wait_message("is pending; if it is not scheduled the static pod comes back")
        self.wait_for(lambda: self.world.copies("one") == (1, 0), "ours to be back", LONG)
        self.wait_message("the static pod had made room for it in vain")
        self.assertEqual(self.row("one")["reason"], "HandingOver")
        self.assertIn("taken back: its pod was not scheduled", self.log())
        self.assertEqual(self.counter("takebacks"), 1)
        # It stays, also when the process is another one, for that pod.
        self.agent_restarts()
        self.wait_message("the static pod had made room for it in vain")
        self.check_ours_stays()
        self.assertEqual([p["metadata"]["uid"] for p in self.world.theirs("one")], [theirs["metadata"]["uid"]])
        # The next one is given its chance at once.
        self.world.is_full = False
        self.world.delete_pod(theirs)
        self.wait_copies(0, 1)
        self.wait_handed_over()
        self.assertEqual(self.log().count("handed over: "), 2)


if __name__ == "__main__":
    main()
