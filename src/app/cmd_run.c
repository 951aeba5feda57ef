/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/daemon.h"

int cmd_run(const Options *options) {
        if (options->n_args > 0) {
                say_error("run takes no arguments; see daemonlet run --help");
                return EX_USAGE;
        }
        return daemon_run(options);
}
