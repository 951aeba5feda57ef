/* SPDX-License-Identifier: Apache-2.0 */
/* Every reason code that the program can print, in one table with its explanation (the man page prints it). Programs
 * match the codes: they are part of the contract and are never renamed. */
#pragma once

#include "base/util.h"

#define REASON_TABLE(X)                                                                                                         \
        X(None, "")                                                                                                             \
        X(Fits, "This node should run the DaemonSet.")                                                                          \
        X(NodeNameMismatch, "The template's nodeName is another node.")                                                         \
        X(NodeSelectorMismatch,                                                                                                 \
          "A label that the template's nodeSelector wants is missing or different on this node.")                               \
        X(NodeAffinityMismatch, "No term of the template's required node affinity matches this node.")                          \
        X(UntoleratedTaint, "The node has a taint that the template does not tolerate.")                                        \
        X(Invalid, "The DaemonSet would be refused by the API server; the message names the field.")                            \
        X(Unreadable, "The file could not be read or parsed; what it last defined is kept.")                                    \
        X(DefinedTwice, "Two files define the DaemonSet or object differently; what stands is kept.")                           \
        X(WaitingForConfigMap, "A ConfigMap that the pod needs is missing.")                                                    \
        X(WaitingForSecret, "A Secret that the pod needs is missing.")                                                          \
        X(WaitingForToken, "A ServiceAccount token that the pod mounts cannot be made.")                                        \
        X(WaitingForPriorityClass, "The API server was asked for the pod's PriorityClass and has not answered yet.")            \
        X(SecretInEnv,                                                                                                          \
          "A Secret's value in an environment variable would be readable through the mirror pod: mount it, or set secret_env.") \
        X(UnsupportedVolume, "A volume of this kind cannot be used by a static pod.")                                           \
        X(UnsupportedField, "A field of the template cannot be used by a static pod.")                                          \
        X(NameTooLong,                                                                                                          \
          "The pod's name, with the node's name behind it, is longer than 253 characters or no DNS name.")                      \
        X(TooLarge, "The rendered pod is larger than a mirror pod can be (1 MiB).")                                             \
        X(NodeNameUnknown, "The node's name is not known for certain; set [node] name.")                                        \
        X(SourceIncomplete, "A source was not read completely, so nothing that it may define is removed.")                      \
        X(OriginUnknown, "Where the manifest came from is not known; it goes when every source has been read.")                 \
        X(NotDefined, "No source defines the DaemonSet any more.")                                                              \
        X(PortConflict, "Another DaemonSet on this node has the same host port.")                                               \
        X(WaitingForPort, "The host port is still held by a pod that is being removed.")                                        \
        X(ForeignPod, "Another file in the manifest directory defines a pod of this name and is not ours.")                     \
        X(MassRemoval, "Everything would be removed because a source became empty; confirm with sync --confirm.")               \
        X(ApiNotSynced, "The kubelet has not seen the API server since its start; a change now could run two copies.")          \
        X(HoldAlways, "hold_offline = always: a manifest whose pod may be alive is neither changed nor removed.")               \
        X(RemovalDelay, "It is removed unless it comes back within removal_delay: editors delete and write again.")             \
        X(NodeSettling,                                                                                                         \
          "The live Node's labels or taints say that it should not run here; it goes when they have said so for settle.")       \
        X(WouldRunTwice,                                                                                                        \
          "The DaemonSet of the API server lacks the fence, so the DaemonSet controller would run it as well.")                 \
        X(FenceBroken, "The live Node has a label daemonlet.io/static, so the DaemonSet controller runs fenced ones.")          \
        X(UnknownMode, "The label daemonlet.io/mode has a value that this version does not know.")                              \
        X(Stale, "The API server cannot be asked; what it last said counts, and nothing is removed because of it.")             \
        X(SuspectList,                                                                                                          \
          "The API server's answer lacks what it had; that is believed when it has said so for 10 minutes.")                    \
        X(NodeDeleted, "The Node object was deleted from the API server, and on_deleted is remove.")                            \
        X(Fight, "Something keeps changing the manifest; it is repaired once in 10 s until that stops.")                        \
        X(StoreFailed, "The manifest directory could not be changed as it should be; what stood stands.")                       \
        X(NotStarted,                                                                                                           \
          "The kubelet runs no pod for the manifest, and has refused it for good; it is written again now and then.")           \
        X(Restarting, "The manifest is withdrawn until its pod is gone, and then written again.")                               \
        X(VolumeKept,                                                                                                           \
          "A ConfigMap or Secret became empty or was removed; the files that the pod mounts stay as they were.")                \
        X(HandedOver, "The DaemonSet controller runs it here; the manifest was withdrawn for its pod.")                         \
        X(HandedBack,                                                                                                           \
          "The DaemonSet lost its fence: the DaemonSet controller runs it here, and the manifest was withdrawn.")               \
        X(HandingOver,                                                                                                          \
          "The DaemonSet controller is in charge; the manifest is withdrawn when its pod here exists or is Ready.")             \
        X(ControllerAwaited,                                                                                                    \
          "The API server was asked whether the DaemonSet controller runs it here; nothing is written before it answers.")      \
        X(ControllerEnding,                                                                                                     \
          "The DaemonSet controller's pod still runs here; the manifest is written when it has ended.")                         \
        X(DeletedInApi, "The DaemonSet was deleted in the API server, and on_api_deleted is stop.")                             \
        X(OnDelete, "updateStrategy is OnDelete: the change is made when the manifest is removed, or by sync --now.")           \
        X(StaleRender, "The standing manifest came from another version; sync --rerender adopts the present one.")

typedef enum Reason {
#define X(code, help) REASON_##code,
        REASON_TABLE(X)
#undef X
                REASON_COUNT
} Reason;

/* "NodeSelectorMismatch"; "" for REASON_None. */
const char *reason_name(Reason r);
/* One sentence for the man page. */
const char *reason_help(Reason r);
