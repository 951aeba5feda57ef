/* SPDX-License-Identifier: Apache-2.0 */
/* MESSAGE_ID= of the journal, explained in systemd/daemonlet.catalog. Programs match them: they never change. */
#pragma once

#define MESSAGE_ID_STARTED "b82578228a064c0cbdf5de5a4dd4b60c"
#define MESSAGE_ID_WRITTEN "a3b5010ed1984ce7a558005127979a77"
#define MESSAGE_ID_REPLACED "5c0c4b3c5773497dad96f714085a8df0"
#define MESSAGE_ID_REMOVED "eadc7a3a89b44b2182ef9a8305141533"
#define MESSAGE_ID_WITHDRAWN "3c28c40f31c54b8faf6b45e3352636e0"
#define MESSAGE_ID_REPAIRED "c9f5d9f682de4b29a3e266c4a0bf52c7"
#define MESSAGE_ID_QUARANTINED "18c7c49a49ad48cd97ca10e3e2f31414"
#define MESSAGE_ID_PROBLEM "c08e670243a94330a7ff1fe7c4267115"
