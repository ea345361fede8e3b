"""Other model servers, each with the same networks and precision as ours, and as many threads in all.

They run in an environment of their own, into which the extra `compare` installs them. Each is set up as its makers
advise for a network that computes for long on a CPU: no batching, and the upload's bytes as they come where the server
takes such. With the champions each has one process with all threads, the default of them all and as ours computes; with
stand-ins, where threads have nothing to do, a process for each CPU.
"""
